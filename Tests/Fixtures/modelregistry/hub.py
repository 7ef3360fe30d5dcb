"""A hub for tests: serves DIRECTORY with entity tags and ranges, and misbehaves where the path asks for it.

usage: hub.py DIRECTORY LOG
Prints its port on the first line. Each request becomes a line "PATH RANGE STATUS" of LOG.
A path with "/break-once/" in it loses its connection after half of the file, the first time; one with "/busy-once/"
answers 503 the first time; one with "/no-range/" ignores ranges.
"""
import hashlib
import http.server
import os
import re
import sys

directory, log = sys.argv[1], sys.argv[2]
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # /owner/repository/resolve/revision/file...
        parts = self.path.strip("/").split("/")
        path = os.path.join(directory, *parts[4:])
        first = self.path not in seen
        seen.add(self.path)
        wanted = self.headers.get("Range", "-")
        if "/busy-once/" in self.path and first:
            return self.answer(503, b"", {}, wanted)
        if not os.path.isfile(path):
            return self.answer(404, b"", {}, wanted)
        with open(path, "rb") as file:
            content = file.read()
        tag = '"' + hashlib.sha256(content).hexdigest() + '"'
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        current = self.headers.get("If-Range", tag) == tag
        if match and current and "/no-range/" not in self.path:
            start = int(match.group(1))
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"}, wanted)
            headers = {"ETag": tag, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return self.answer(206, content[start:], headers, wanted)
        self.answer(200, content, {"ETag": tag}, wanted, cut="/break-once/" in self.path and first)

    def answer(self, status, body, headers, wanted, cut=False):
        with open(log, "a") as lines:
            lines.write(f"{self.path} {wanted} {status}\n")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
