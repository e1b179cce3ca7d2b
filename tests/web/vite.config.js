import { readFileSync } from "node:fs";

import { defineConfig } from "vite";

// Hydrogen's service worker must lie beside its page.
const serviceWorker = {
    name: "service-worker",
    generateBundle() {
        const source = readFileSync("node_modules/hydrogen-view-sdk/lib-build/sw.js");
        this.emitFile({ type: "asset", fileName: "sw.js", source });
    },
};

export default defineConfig({
    root: "pages",
    logLevel: "error",
    plugins: [serviceWorker],
    build: {
        outDir: "../built",
        emptyOutDir: true,
        target: "esnext",
        rollupOptions: { input: ["pages/hydrogen.html", "pages/sdk.html"] },
    },
});
