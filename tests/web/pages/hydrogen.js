// The complete Hydrogen, from its SDK.

import "hydrogen-view-sdk/theme-element-light.css";

import olmScript from "@matrix-org/olm/olm.js?url";
import olm from "@matrix-org/olm/olm.wasm?url";
import olmWithoutWasm from "@matrix-org/olm/olm_legacy.js?url";
import { createNavigation, createRouter, FeatureSet, Platform, RootViewModel } from "hydrogen-view-sdk";
import downloadSandbox from "hydrogen-view-sdk/download-sandbox.html?url";
import worker from "hydrogen-view-sdk/main.js?url";

const platform = new Platform({
    container: document.body,
    assetPaths: {
        downloadSandbox,
        worker,
        serviceWorker: "sw.js",
        olm: { wasm: olm, wasmBundle: olmScript, legacyBundle: olmWithoutWasm },
    },
    config: { defaultHomeServer: "" },
});
const navigation = createNavigation();
platform.setNavigation(navigation);
await platform.init();
const urlRouter = createRouter({ navigation, history: platform.history });
urlRouter.attach();
const features = await FeatureSet.load(platform.settingsStorage);
const root = new RootViewModel({ platform, urlRouter, navigation, features });
await root.load();
platform.createAndMountRootView(root);
