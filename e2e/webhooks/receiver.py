import http.server
import json
import os

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            message = webhook.verify(body, dict(self.headers))
            data = json.dumps(message["data"], separators=(",", ":"))
            print(self.headers["webhook-id"], message["type"], data, flush=True)
            self.send_response(204)
        except WebhookVerificationError:
            print("refused", flush=True)
            self.send_response(400)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
