"""`doctor`: check everything that a nightly run depends on, with a remedy for each fault."""

import click


@click.command("doctor")
def doctor_command() -> int:
    """Check settings, token, permission, reachability, clock, budget, disk, lock, files and schema."""
    from pipelines.cli.diagnostics import diagnose
    from pipelines.text import printable

    findings = []
    for finding in diagnose():  # printed one by one: some checks take a while
        findings.append(finding)
        mark = {"ok": "ok  ", "warning": "warn", "fault": "FAIL"}[finding.state]
        remedy = f"\n      → {printable(finding.remedy)}" if finding.remedy else ""
        click.echo(f"{mark}  {printable(f'{finding.subject}: {finding.message}')}{remedy}")
    if any(finding.state == "fault" and finding.subject == "settings" for finding in findings):
        return 2
    return 1 if any(finding.state == "fault" for finding in findings) else 0
