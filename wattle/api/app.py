"""The Flask app: blueprints, the guard before them, errors and envelopes after them. Nothing is kept in globals."""

from typing import TYPE_CHECKING

from flask import Flask

from wattle.api import errors, events, guard, health, incoming, logs, metrics, runs, schema, streams, workers, workflows
from wattle.api.rooms import Rooms
from wattle.metrics.sampler import Sampler

if TYPE_CHECKING:
    from wattle.api.pump import Pump
    from wattle.config import Config
    from wattle.metrics.prometheus import Exposition
    from wattle.service.changing import Changing
    from wattle.service.reading import Reading


def create_app(
    reading: "Reading",
    changing: "Changing | None",
    config: "Config",
    pump: "Pump",
    *,
    sampler: Sampler | None = None,
    exposition: "Exposition | None" = None,
) -> Flask:
    """The WSGI application. With `changing` None it only reads: changing calls are 503 `NO_SERVER`."""
    app = Flask("wattle.api", static_folder=None, template_folder=None)
    app.debug = False  # whatever FLASK_DEBUG says: the debugger runs code for whoever asks
    app.extensions["wattle"] = Rooms(reading, pump, sampler or Sampler(), changing, exposition)
    app.config["WATTLE_LANG"] = config.lang
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # a redirect would answer before the guard
    app.url_map.converters["name"] = incoming.Name
    guard.install(app, config)
    errors.install(app)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(metrics.exposed)
    app.register_blueprint(workflows.blueprint, url_prefix="/api")
    app.register_blueprint(workflows.blueprint, url_prefix="/api/v1", name="workflows_v1")
    for room in (workers, logs, metrics, runs, events, streams, schema):
        app.register_blueprint(room.blueprint, url_prefix="/api")
    return app
