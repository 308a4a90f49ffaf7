bind = "127.0.0.1:0"
workers = 2
# The connections are kept, as a proxy before it would keep them; the default kind of worker closes each.
worker_class = "gthread"
threads = 16
keepalive = 60


def when_ready(server):
    port = server.LISTENERS[0].sock.getsockname()[1]
    print(f"listening on http://127.0.0.1:{port}", flush=True)
