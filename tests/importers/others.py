"""Fixtures of other tools' formats, ours, after their documentation; and imports of small texts."""

from pathlib import Path

from wattle.definition import Context, read_workflow
from wattle.errors import WattleError
from wattle.importers.dagu import import_dagu
from wattle.importers.options import Options, Place
from wattle.importers.process_compose import import_process_compose
from wattle.importers.procfile import ProcfileOptions, import_procfile
from wattle.importers.supervisord import import_supervisord

FIXTURES = Path(__file__).parent / "fixtures"
CONTEXT = Context("/project", "/home/ada", "/data/work", "/data")
PLACE = Place("/project", "file")


def procfile(text, **options):
    common = Options(PLACE, working_dir=".", **{k: options.pop(k) for k in ("name",) if k in options})
    return import_procfile(text.encode(), ProcfileOptions(common, **options))


def supervisord(text, **options):
    return import_supervisord(text.encode(), Options(PLACE, working_dir=".", **options))


def process_compose(text, **options):
    return import_process_compose(text.encode(), Options(PLACE, working_dir=".", **options))


def dagu(text, **options):
    return import_dagu(text.encode(), Options(PLACE, working_dir=".", **options))


def workers(imported):
    """`{name: worker}`, of a definition that our own reader takes."""
    read_workflow(imported.document, CONTEXT)
    return {worker["name"]: worker for worker in imported.document["workers"]}


def only(imported):
    (worker,) = workers(imported).values()
    return worker


def said(imported, kind):
    return [str(each) for each in getattr(imported.report, kind)]


def problems(function, text):
    """`[(line, message)]`"""
    try:
        function(text)
    except WattleError as error:
        return [(problem.line, problem.message) for problem in error.details]
    raise AssertionError("it was taken")
