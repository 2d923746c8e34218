"""`doctor`: check everything that a nightly run depends on, with a remedy for each fault."""

import click


@click.command("doctor")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print findings and versions as JSON that names no account, machine or user.",
)
def doctor_command(*, as_json: bool) -> int:
    """Check settings, token, permission, reachability, clock, budget, disk, lock, files and schema."""
    from pipelines.cli.diagnostics import diagnose
    from pipelines.text import printable

    findings = []
    for finding in diagnose():  # printed one by one: some checks take a while
        findings.append(finding)
        if as_json:
            continue
        mark = {"ok": "ok  ", "warning": "warn", "fault": "FAIL"}[finding.state]
        remedy = f"\n      → {printable(finding.remedy)}" if finding.remedy else ""
        click.echo(f"{mark}  {printable(f'{finding.subject}: {finding.message}')}{remedy}")
    if as_json:
        from pipelines.cli.doctor_json import render_json

        click.echo(render_json(findings))
    if any(finding.state == "fault" and finding.subject == "settings" for finding in findings):
        return 2
    return 1 if any(finding.state == "fault" for finding in findings) else 0
