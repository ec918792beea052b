"""A process like those of the services: serves HTTP on the port it is given and is ready when database and broker answer."""

from __future__ import annotations

import http.server
import os

import psycopg

from deploy.local.kafka import live_brokers


def ready() -> bool:
    with psycopg.connect(os.environ["PILOTLINE_DATABASE_URL"]) as connection:
        migrated = connection.execute("select to_regclass('messaging.position')").fetchone()
    return migrated != (None,) and live_brokers(int(os.environ["PILOTLINE_KAFKA"].rpartition(":")[2])) == 1


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if ready() else 503)
        self.end_headers()


if __name__ == "__main__":
    host, _, port = os.environ["PILOTLINE_BIND"].rpartition(":")
    http.server.HTTPServer((host, int(port)), Answer).serve_forever()
