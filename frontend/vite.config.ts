/** How the dashboard is built into src/anchor/web, and served while it is worked on. */
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vite";
import paths from "./src/paths.json" with { type: "json" };

const server = process.env.ANCHOR_URL ?? "http://127.0.0.1:5000";

/** The paths that answer with the page, for the server to read: the routes themselves are checked against them. */
function pathsForServer(): Plugin {
  return {
    name: "paths-for-server",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "paths.json", source: JSON.stringify(paths) });
    },
  };
}

export default defineConfig({
  plugins: [react(), pathsForServer()],
  build: {
    outDir: process.env.ANCHOR_WEB_OUT ?? "../src/anchor/web",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 400,
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/health", "/ready", "/live"].map((path) => [
        path,
        // The server believes requests of its own pages only.
        { target: server, changeOrigin: true, ws: path === "/live", headers: { origin: server } },
      ]),
    ),
  },
});
