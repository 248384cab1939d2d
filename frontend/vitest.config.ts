/** Unit tests of the dashboard, in a document without a window. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"], testTimeout: 5000, css: false, isolate: false },
});
