"""Serves the files of a log as they lie in FOLDER, its bundles compressed alone, whatever was asked for: what tlog-tiles allows a log."""

import functools
import gzip
import http.server
import pathlib
import sys


class Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        path = pathlib.Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body, is_bundle = path.read_bytes(), "/tile/entries/" in self.path
        body = gzip.compress(body) if is_bundle else body
        self.send_response(200)
        if is_bundle:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=sys.argv[1]))
print(f"Serving HTTP on 127.0.0.1 port {server.server_port}", flush=True)
server.serve_forever()
