"""`doctor`: looks at everything a night depends on, and says what to do about each fault."""

import click


@click.command("doctor")
def doctor_command() -> int:
    """Check settings, token, permission, reachability, clock, budget, disk, lock, files and schema."""
    from pipelines.cli.checkup import checkup  # noqa: PLC0415 - kept out of --help

    findings = list(checkup())
    for finding in findings:
        mark = {"ok": "ok  ", "warning": "warn", "fault": "FAIL"}[finding.state]
        click.echo(
            f"{mark}  {finding.what}: {finding.said}" + (f"\n      → {finding.remedy}" if finding.remedy else "")
        )
    if any(finding.state == "fault" and finding.what == "settings" for finding in findings):
        return 2
    return 1 if any(finding.state == "fault" for finding in findings) else 0
