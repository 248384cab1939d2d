// The app that is deployed where a request names no source: a page that says what to do next.
const express = require("express");

const { ANCHOR_APP = "app", ANCHOR_RELEASE = "1", ANCHOR_REPLICA = "web.0", PORT = "8080" } = process.env;
const app = express();
const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(ANCHOR_APP)}</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif; }
  body { margin: 10vh auto; max-width: 38rem; padding: 0 1.25rem; }
  h1 { font-size: 2.25rem; letter-spacing: -0.02em; line-height: 1.1; margin: 0 0 1rem; }
  pre { background: #8881; border: 1px solid #8884; border-radius: 0.5rem; overflow: auto; padding: 0.75rem 1rem; }
  footer { color: #888; font-size: 0.875rem; margin-top: 3rem; }
</style>
<h1>${escaped(ANCHOR_APP)} is up</h1>
<p>This is the app that runs where none was named. Put your own in its place:</p>
<pre>cd my-app
anchor app deploy . --name ${escaped(ANCHOR_APP)}</pre>
<p>A folder with a <code>package.json</code>, a <code>requirements.txt</code>, an <code>index.html</code> or a
<code>Procfile</code> will do. It has to listen on the port in the variable <code>PORT</code>.</p>
<footer>release ${escaped(ANCHOR_RELEASE)}, replica ${escaped(ANCHOR_REPLICA)}, Node ${process.versions.node}</footer>
</html>
`;

app.disable("x-powered-by");
app.get("/", (_, response) => response.type("html").send(page));
app.get("/healthz", (_, response) => response.json({ ok: true }));

const server = app.listen(Number(PORT), "0.0.0.0", (error) => {
  if (error) throw error;
  console.log(`listening on port ${PORT}`);
});
// Longer than whoever stands in front keeps its connections, so that none is closed under a request.
server.keepAliveTimeout = 75_000;
process.on("SIGTERM", () => server.close(() => process.exit(0)));
