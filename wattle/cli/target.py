"""WF and WF/WORKER, as they are typed."""

from typing import TYPE_CHECKING, NamedTuple

import click

from wattle.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Target(NamedTuple):
    """A workflow (`worker` None) or one of its workers. Names hold no `/`."""

    workflow: str
    worker: str | None

    def __str__(self) -> str:
        return self.workflow if self.worker is None else f"{self.workflow}/{self.worker}"


def parse_target(text: str) -> Target:
    """ValueError says what is wrong."""
    workflow, slash, worker = text.partition("/")
    if not workflow or (slash and not worker) or "/" in worker:
        raise ValueError(f"'{text}' is neither WORKFLOW nor WORKFLOW/WORKER")
    return Target(workflow, worker if slash else None)


class TargetType(click.ParamType):
    """`needs` is "workflow", "worker", or None where both will do."""

    name = "target"

    def __init__(self, needs: str | None = None) -> None:
        self.needs = needs

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        if isinstance(value, Target):
            return value
        session = ctx.find_object(Session) if ctx is not None else None
        try:
            target = parse_target(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if session is not None:
            session.targets.append(target)
        if self.needs == "workflow" and target.worker is not None:
            self.fail(f"a workflow is wanted, not a worker; did you mean '{target.workflow}'?", param, ctx)
        if self.needs == "worker" and target.worker is None:
            self.fail(f"a worker is wanted: '{target.workflow}/WORKER'", param, ctx)
        return target

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        from wattle.cli.completing import targets

        return [CompletionItem(name) for name in targets(ctx, incomplete, self.needs)]


def complete_workflows(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """For an argument that may be something else too."""
    return WORKFLOW.shell_complete(ctx, param, incomplete)


WORKFLOW, WORKER, EITHER = TargetType("workflow"), TargetType("worker"), TargetType()
