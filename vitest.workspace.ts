import { defineConfig } from "vitest/config"

/** The fast tier is `*.test.ts`; the long one (`npm run test:full`) is `*.full.ts`. */
const full = process.env["AGION_TIER"] === "full"
const include = full ? ["test/**/*.full.ts"] : ["test/**/*.test.ts"]

const project = (name: string, root: string) => ({
  extends: true as const,
  test: { name, root, include, exclude: ["**/node_modules/**", "**/dist/**", "**/test/fixtures/**"] }
})

const packages = ["domain", "policy", "redis", "redis-memory", "sdk", "server", "cli", "testing", "bench"]

export default defineConfig({
  // Workspace packages resolve to their sources.
  ssr: { resolve: { conditions: ["@agion/source", "node"] } },
  test: {
    environment: "node",
    passWithNoTests: true,
    testTimeout: full ? 300_000 : 20_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // `npm run coverage`
    coverage: { provider: "v8", include: ["packages/*/src/**/*.ts"], reporter: ["text", "text-summary"] },
    projects: [
      ...packages.map((name) => project(name, `./packages/${name}`)),
      project("examples", "./examples"),
      project("scripts", "./scripts")
    ]
  }
})
