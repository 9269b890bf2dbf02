"""An example satellite: a tiny drive that keeps files and asks Ledgerline before it does.

python -m tests.journeys.drive --port 9000 --folder files --url … --token … --organization …

curl -T report.pdf http://127.0.0.1:9000/report.pdf     stores, or refuses with our sentence
curl http://127.0.0.1:9000/report.pdf
curl -X DELETE http://127.0.0.1:9000/report.pdf          frees what it took
"""

import argparse
import logging
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from quotas.client import Client, LedgerlineError, Refused, Unavailable

METER = "storage"


class Drive(ThreadingHTTPServer):
    def __init__(self, port: int, folder: Path, client: Client) -> None:
        super().__init__(("127.0.0.1", port), Files)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.client = client

    def report(self) -> None:
        """What really lies in the folder, for a drive that was away or was changed by hand."""
        self.client.level(METER, sum(file.stat().st_size for file in self.folder.iterdir()))


class Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Drive

    def do_GET(self) -> None:
        file = self._file()
        if not file.is_file():
            self._answer(404, "There is no such file.")
            return
        self._answer(200, file.read_bytes())

    def do_PUT(self) -> None:
        """Asks first: the bytes are read only once there is room for them."""
        size = int(self.headers.get("Content-Length", 0))
        file = self._file()
        more = size - (file.stat().st_size if file.is_file() else 0)
        key = uuid.uuid4().hex
        try:
            if more > 0:
                self.server.client.consume(METER, more, key=key)
            self._store(file, size)
        except Refused as refusal:
            self.close_connection = True  # the bytes stay unread
            self._answer(refusal.status, f"{refusal} {refusal.upgrade_url}")
        except Unavailable:
            self.close_connection = True
            self._answer(503, "The drive takes no uploads for a moment. Please try again.")
        except OSError:
            if more > 0:
                self.server.client.release(key)
            raise
        else:
            if more < 0:
                self.server.client.release_amount(METER, -more)
            self._answer(201, f"{file.name} is stored.")

    def do_DELETE(self) -> None:
        file = self._file()
        if not file.is_file():
            self._answer(404, "There is no such file.")
            return
        size = file.stat().st_size
        file.unlink()
        self.server.client.release_amount(METER, size)
        self._answer(200, f"{file.name} is gone.")

    def _store(self, file: Path, size: int) -> None:
        body = self.rfile.read(size)
        if len(body) < size:
            raise OSError("the upload broke off")
        file.write_bytes(body)

    def _file(self) -> Path:
        """Names only: no folders, so that nobody leaves ours."""
        return self.server.folder / Path(unquote(self.path)).name

    def _answer(self, status: int, content: str | bytes) -> None:
        body = content if isinstance(content, bytes) else f"{content}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, template: str, *values: object) -> None:
        logging.getLogger("drive").info(template, *values)


def main() -> None:
    parser = argparse.ArgumentParser(description="A tiny drive that asks before it stores.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--organization", required=True)
    asked = parser.parse_args()
    client = Client(asked.url, asked.token, organization=asked.organization)
    drive = Drive(asked.port, asked.folder, client)
    try:
        drive.report()
    except LedgerlineError as error:
        logging.getLogger("drive").warning("not reported yet: %s", error)
    drive.serve_forever()


if __name__ == "__main__":
    main()
