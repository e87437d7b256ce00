import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the page with live reload, and asks a running `whet serve` for the data.
const server = process.env["WHET_URL"] ?? "http://127.0.0.1:8765";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../src/whet/web",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the content security policy lets files of the server in, and nothing inline
    manifest: "manifest.json", // for scripts/size.mjs, which removes it
    modulePreload: { polyfill: false },
    target: "es2022",
    // What every page needs is one file: many small ones compress worse.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "shared", test: /node_modules\/(?:react|react-dom|scheduler|openapi-fetch|@tanstack\/(?!(?:react-)?virtual)[^/]+)\/|src\/(api|components\/(Button|Copy|Dialog|Menu|Page|Shell|Status|Toast|Value)|lib\/(format|keys|search|theme))/ }] } } },
  },
  server: { proxy: { "/api": { target: server, changeOrigin: true } } },
});
