"""LiveDigit as a Ray Serve application, for those who have a Ray cluster, on whose nodes `livedigit` must be installed:

    serve run --app-dir deploy --working-dir deploy ray_serve:application

Ray brings this file to the nodes, which have no `deploy`. Settings (`LIVEDIGIT_...`) come from the environment of the
replicas, which is not that of this command: `--runtime-env-json '{"env_vars": {...}}'` adds to it.

Each replica is a whole server with a session of its own; Ray's proxy spreads the requests. Without a cluster,
`livedigit serve` is faster: a hop through Ray's proxy takes longer than the whole request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import serve

if TYPE_CHECKING:
    from litestar import Litestar

ONGOING = 8
"""Requests in a replica at a time; it works on one, and reads and writes the others meanwhile."""
QUEUED = 64


def build_app() -> Litestar:
    """Build the application in the replica: it cannot be pickled (seen with Litestar 2.24 and Ray 2.60)."""
    from service.app import create_app

    return create_app()


application = serve.deployment(
    name="livedigit",
    num_replicas=2,
    ray_actor_options={"num_cpus": 1},
    max_ongoing_requests=ONGOING,
    max_queued_requests=QUEUED,
)(serve.ingress(build_app)()).bind()
