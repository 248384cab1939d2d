/** Where the dashboard begins. */
// First, so that what a piece says of itself counts more.
import "./theme/fonts.css";
import "./theme/tokens.css";
import "./theme/base.css";

import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { queries } from "./api/queries";
import { listen } from "./keyboard/keys";
import { openLink } from "./live/socket";
import { router } from "./routes";
import { Gate } from "./shell/Gate";
import { followDensity } from "./theme/density";
import { follow } from "./theme/theme";

follow();
followDensity();
listen();
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Gate open={openLink}>
        <RouterProvider router={router} />
      </Gate>
    </QueryClientProvider>
  </StrictMode>,
);
