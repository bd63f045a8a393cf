"""A server of the chat API in a few lines: what it says depends on the words that are left, as a test wants it."""

from __future__ import annotations

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Toy:
    """Says ``red`` with a chance that grows with the words that are left, else ``blue``.

    Attributes:
        change: what is done to an answer before it is sent.
        bodies: the requests.
    """

    def __init__(self, weights, change=None, *, logprobs=True):
        self.weights, self.change, self.logprobs = weights, change, logprobs
        self.bodies = []
        toy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                toy.bodies.append(body)
                said = toy.answer(body)
                content = json.dumps(toy.change(said, body) if toy.change else said).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def chance(self, text):
        """The chance of ``red``."""
        return 1 / (1 + math.exp(-sum(weight for word, weight in self.weights.items() if word in text.split())))

    def answer(self, body):
        text = " ".join(part["text"] for part in body["messages"][0]["content"] if part["type"] == "text")
        red = self.chance(text)
        draw = (body["seed"] * 0.618034 + 0.31) % 1.0
        said = "red" if (draw < red if body["temperature"] else red >= 0.5) else "blue"
        top = {"red": math.log(red), "blue": math.log1p(-red)}
        kept = sorted(top, key=lambda token: -top[token])[: body.get("top_logprobs", 2)]
        listed = [{"token": token, "logprob": top[token]} for token in kept]
        content = [{"token": said, "logprob": top[said], "top_logprobs": listed}]
        choice = {"message": {"content": said}, "finish_reason": "stop"}
        if self.logprobs and body.get("logprobs"):
            choice["logprobs"] = {"content": content}
        usage = {"prompt_tokens": 100, "completion_tokens": 1}
        return {"model": body["model"], "choices": [choice], "usage": usage}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
