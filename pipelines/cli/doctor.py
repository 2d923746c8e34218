"""`doctor`: looks at everything a night depends on, and says what to do about each fault."""

import click


@click.command("doctor")
def doctor_command() -> int:
    """Check settings, token, permission, reachability, clock, budget, disk, lock, files and schema."""
    from pipelines.cli.diagnostics import checkup
    from pipelines.text import printable

    found = []
    for finding in checkup():  # told one by one: some take a while
        found.append(finding)
        mark = {"ok": "ok  ", "warning": "warn", "fault": "FAIL"}[finding.state]
        remedy = f"\n      → {finding.remedy}" if finding.remedy else ""
        click.echo(f"{mark}  {printable(f'{finding.what}: {finding.said}')}{remedy}")
    if any(finding.state == "fault" and finding.what == "settings" for finding in found):
        return 2
    return 1 if any(finding.state == "fault" for finding in found) else 0
