"""The HTTP edge: Flask blueprints per URL space, errors and envelopes, who may call, the pump for all that waits.

`app.py` puts it together, `guard.py` looks at every request before anything else does, `envelope.py` is the
documented shape of answers, `errors.py` the one table of HTTP statuses, `entities.py` the documented JSON of
each thing, `later.py` hands what waits to the pump (`pump.py`). It decides nothing about workflows: it asks
`service/`. Import it late, Flask costs at import.
"""
