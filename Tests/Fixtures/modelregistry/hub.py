"""A hub for tests: serves DIRECTORY with entity tags and ranges, and misbehaves where the path asks for it.

usage: hub.py DIRECTORY LOG
Prints its port on the first line. Each request becomes a line "PATH RANGE STATUS" of LOG.
A path with "/break-once/" in it loses its connection after half of the file, the first time; one with "/busy-once/"
answers 503 the first time; one with "/no-range/" ignores ranges; "/break-often/" loses its connection after a quarter
of what is asked for, as long as that is more than a few bytes; "/wrong-range/" answers a range with another one;
"/wrong-tag/" gives a digest that is not the file's; "/redirect/" sends to a second server, whose lines of LOG start with
"2 " and end with "token" where an Authorization header arrived.
"/api/models/OWNER/REPOSITORY/revision/REVISION" lists DIRECTORY, with digests as a hub gives them; its lines say "token"
as well.
"""
import hashlib
import http.server
import json
import os
import re
import sys
import threading

directory, log = sys.argv[1], sys.argv[2]
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path.startswith("/api/models/"):
            return self.answer(200, listing(), {}, self.headers.get("Range", "-"), marks=True)
        # /owner/repository/resolve/revision/file...
        parts = self.path.strip("/").split("/")
        path = os.path.join(directory, *parts[4:])
        first = self.path not in seen
        seen.add(self.path)
        wanted = self.headers.get("Range", "-")
        if "/busy-once/" in self.path and first:
            return self.answer(503, b"", {}, wanted)
        if "/redirect/" in self.path:
            target = f"http://127.0.0.1:{second.server_address[1]}{self.path.replace('/redirect/', '/main/')}"
            return self.answer(302, b"", {"Location": target, "X-Linked-ETag": "ignored"}, wanted)
        if not os.path.isfile(path):
            return self.answer(404, b"", {}, wanted)
        with open(path, "rb") as file:
            content = file.read()
        tag = '"' + hashlib.sha256(content).hexdigest() + '"'
        if "/wrong-tag/" in self.path:
            tag = '"' + "0" * 64 + '"'
        match = re.fullmatch(r"bytes=(\d+)-", wanted)
        current = self.headers.get("If-Range", tag) == tag
        if match and current and "/no-range/" not in self.path:
            start = int(match.group(1))
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"}, wanted)
            if "/wrong-range/" in self.path:
                start += 1
            headers = {"ETag": tag, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return self.answer(206, content[start:], headers, wanted, cut=self.breaks_often(content[start:]))
        once = "/break-once/" in self.path and first
        self.answer(200, content, {"ETag": tag}, wanted, cut=2 if once else self.breaks_often(content))

    def breaks_often(self, body):
        """The part of the body after which the connection goes, one over this; 0 for none."""
        return 4 if "/break-often/" in self.path and len(body) > 100_000 else 0

    def answer(self, status, body, headers, wanted, cut=0, marks=False):
        with open(log, "a") as lines:
            token = " token" if "Authorization" in self.headers else ""
            mark = "2 " if self.server is second else ""
            lines.write(f"{mark}{self.path} {wanted} {status}{token if mark or marks else ''}\n")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // cut] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


def listing():
    files = []
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                content = file.read()
            entry = {"rfilename": os.path.relpath(path, directory), "size": len(content)}
            entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if name.endswith((".gguf", ".safetensors")):
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            files.append(entry)
    return json.dumps({"id": "owner/repo", "sha": "c0ffee", "siblings": files}).encode()


second = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=second.serve_forever, daemon=True).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
