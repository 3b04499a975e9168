"""`/api/events`: the history after an id, at once or as soon as there is some (long poll)."""

from flask import Blueprint, Response

from wattle.api import entities, query
from wattle.api.envelope import success
from wattle.api.later import Body, when_there
from wattle.api.rooms import rooms
from wattle.definition.names import nfc

blueprint = Blueprint("events", __name__)

LONGEST_WAIT_SECONDS = 60.0


@blueprint.get("/events")
def list_events() -> Response:
    """`after`: the last id seen (0: from the first), `wait`: seconds to wait while there is none.

    `last_event_id` beside `data` is what to pass as `after` next.
    """
    reading = rooms().reading
    after, limit = query.integer("after", 0), query.integer("limit", 1000, low=1, high=10_000)
    wait_seconds = query.seconds("wait", high=LONGEST_WAIT_SECONDS)
    workflow = nfc(query.text("workflow") or "") or None

    def read() -> Body:
        nonlocal after
        newest = reading.last_event_id()  # before the events, so that none is passed over
        found = reading.events(after=after, limit=limit, workflow=workflow) if newest > after else []
        seen = found[-1].id if found else newest
        after = seen if len(found) == limit else max(newest, seen)
        return [entities.event(view) for view in found], {"last_event_id": after}

    def look() -> Body | None:
        body = read()
        return body if body[0] else None

    if wait_seconds:
        return when_there(look, read, wait_seconds)
    data, siblings = read()
    return success(data, **siblings)
