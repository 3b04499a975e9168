"""`wattle fsck`: is the data directory as it has to be. It repairs nothing."""

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from wattle.cli.exits import Exit
from wattle.cli.output import count_of, plain
from wattle.cli.session import Session, json_option, pass_session, shared_options

if TYPE_CHECKING:
    from wattle.diagnosis.fsck import Report
    from wattle.diagnosis.scene import Defect


@click.command("fsck")
@json_option
@shared_options
@pass_session
def fsck_verb(session: Session, as_json: bool) -> int:
    """Check the data directory against its invariants, and repair nothing.

    Exit status 5 where anything is wrong. Safe while a server runs.
    """
    from wattle.diagnosis.fsck import check

    report = check(session.config.data_dir)
    if as_json:
        session.out.json(_as_json(report))
    else:
        for defect in report.defects:
            session.out.say(_line(session.out.paint("wrong", "1;31"), defect))
        for note in report.notes:
            session.out.say(_line(session.out.dim("note"), note))
        found = count_of(len(report.defects), "thing") if report.defects else "nothing"
        session.note(f"{session.config.data_dir}: {count_of(report.runs, 'run')} looked at, {found} wrong")
    return Exit.REFUSED if report.defects else Exit.DONE


def _line(word: str, defect: "Defect") -> str:
    return f"{word}  {defect.check}: {plain(defect.where)}: {plain(defect.what)}; {plain(defect.remedy)}"


def _as_json(report: "Report") -> dict[str, Any]:
    return {
        "ok": not report.defects,
        "runs": report.runs,
        "daemon": report.daemon,
        "keeper": report.keeper,
        "defects": [_shown(defect) for defect in report.defects],
        "notes": [_shown(defect) for defect in report.notes],
    }


def _shown(defect: "Defect") -> dict[str, str]:
    return {name: value for name, value in dataclasses.asdict(defect).items() if name != "is_note"}
