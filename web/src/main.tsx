import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Problem } from "./api/client.ts";
import { session } from "./api/queries.ts";
import { ToastArea } from "./components/Toast.tsx";
import { router } from "./router.tsx";
import "./tokens.css";
import "./base.css";

// A session that ended (a token revoked, the server started anew) shows the login in the place of the page.
const onError = (error: unknown): void => {
  if (error instanceof Problem && error.status === 401) void client.invalidateQueries({ queryKey: session.queryKey });
};

const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: { queries: { retry: false, staleTime: 1000, networkMode: "always" }, mutations: { networkMode: "always" } },
});

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <ToastArea>
        <RouterProvider router={router} context={{ client }} />
      </ToastArea>
    </QueryClientProvider>
  </StrictMode>,
);
