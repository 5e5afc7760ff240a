"""Serve this folder on 127.0.0.1 with the headers that give a page threads: python examples/browser/serve.py [PORT]."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Isolated(SimpleHTTPRequestHandler):
    """Adds the headers of cross-origin isolation, which shared memory needs."""

    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Send the headers of every answer."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


def server(port: int = 0, folder: Path = Path(__file__).parent) -> ThreadingHTTPServer:
    """Return the server; port 0 takes a free one."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Isolated, directory=str(folder)))


if __name__ == "__main__":
    found = server(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    print(f"http://127.0.0.1:{found.server_address[1]}/")
    found.serve_forever()
