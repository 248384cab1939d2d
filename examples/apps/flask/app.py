"""A guest book without a memory: a form, an upload, a redirect and a cookie."""

import hashlib

from flask import Flask, Response, jsonify, make_response, redirect, render_template_string, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
# The address people see is in X-Forwarded-Host, -Proto and -Prefix: links are made for that one.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
app.config["MAX_CONTENT_LENGTH"] = 64 << 20

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Guest book</title>
<h1>Hello, {{ name }}</h1>
<form action="{{ url_for('sign') }}" method="post"><input name="name" aria-label="Name"><button>Sign</button></form>
<form action="{{ url_for('upload') }}" method="post" enctype="multipart/form-data">
  <input type="file" name="file" aria-label="File"><button>Upload</button>
</form></html>"""


@app.get("/")
def page() -> str:
    return render_template_string(PAGE, name=request.cookies.get("name", "stranger"))


@app.post("/sign")
def sign() -> Response:
    response = make_response(redirect(url_for("page"), code=303))
    response.set_cookie("name", request.form.get("name", "")[:100], httponly=True, samesite="Lax")
    return response


@app.post("/upload")
def upload() -> Response:
    digest, size = hashlib.sha256(), 0
    is_form = request.mimetype == "multipart/form-data"
    stream = next(iter(request.files.values()), request).stream if is_form else request.stream
    while chunk := stream.read(1 << 16):
        digest.update(chunk)
        size += len(chunk)
    return jsonify(bytes=size, sha256=digest.hexdigest())
