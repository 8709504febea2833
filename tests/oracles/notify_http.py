"""Receives what the notifier posts and reads it with Python's own parsers, one JSON line a request.

The shapes it asks for are those of the vendors' documentation: Telegram's sendMessage, Discord's execute-webhook,
Twilio's Messages resource. Prints its port, then the lines. Standard library only.
"""
import base64
import html.parser
import http.server
import json
import sys
import urllib.parse


class Markup(html.parser.HTMLParser):
    """Telegram's rule: every tag known, closed, and in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.good = [], "", True

    def handle_starttag(self, tag, attrs):
        self.good &= tag in ("b", "i") and not attrs
        self.open.append(tag)

    def handle_endtag(self, tag):
        self.good &= bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode("utf-8", "strict")
        kind, seen = self.headers.get_content_type(), {"path": self.path, "agent": self.headers["user-agent"]}
        if kind == "application/json":
            seen["json"] = json.loads(body)
            if seen["json"].get("parse_mode") == "HTML":
                markup = Markup()
                markup.feed(seen["json"]["text"])
                markup.close()
                seen["markup"] = {"good": markup.good and not markup.open, "text": markup.text}
        elif kind == "application/x-www-form-urlencoded":
            seen["form"] = urllib.parse.parse_qs(body, strict_parsing=True)
        authorization = self.headers.get("authorization", "")
        if authorization.startswith("Basic "):
            seen["basic"] = base64.b64decode(authorization[6:], validate=True).decode()
        elif authorization:
            seen["authorization"] = authorization
        seen["idempotency"] = self.headers.get("idempotency-key")
        print(json.dumps(seen), flush=True)
        answers = {"/bot": (200, '{"ok":true,"result":{"message_id":5}}'), "/api/webhooks": (200, '{"id":"1"}'),
                   "/2010-04-01": (201, '{"sid":"SM1","status":"queued"}'), "/hook": (202, "")}
        status, answer = next(a for prefix, a in answers.items() if self.path.startswith(prefix))
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
sys.stdin.close()
server.serve_forever()
