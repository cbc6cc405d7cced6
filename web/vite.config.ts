import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// The development server passes what it doesn't serve itself on to a running `lingqu serve`.
const node = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": node, "/data": node, "/log": node, "/public": node } },
  build: {
    target: "es2022",
    // The components' library is one large chunk that hardly ever changes; a warning about it says nothing new.
    chunkSizeWarningLimit: 1500,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: "components", test: /node_modules[\\/](antd|@ant-design|@rc-component|rc-)/ },
            { name: "framework", test: /node_modules/ },
          ],
        },
      },
    },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
});
