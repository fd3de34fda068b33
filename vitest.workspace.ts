import { defineConfig } from "vitest/config"

/**
 * The fast tier is `*.test.ts`, the long one (`npm run test:full`) `*.full.ts`; `npm run test:pack` runs `*.pack.ts`
 * on what `npm run build` has made.
 */
const tier = process.env["AGION_TIER"] ?? "test"

/** Files of a project share a worker and what it has imported. */
const project = (name: string, root: string, files = "**/*", others: ReadonlyArray<string> = []) => ({
  extends: true as const,
  test: {
    name,
    root,
    include: [`test/${files}.${tier}.ts`],
    exclude: ["**/node_modules/**", "**/dist/**", "**/test/fixtures/**", ...others],
    isolate: false
  }
})

/** It shows what `@agion/policy/engine` does without anything else: a worker of its own has imported nothing. */
const engine = "engine"

const packages = ["domain", "redis", "redis-memory", "sdk", "server", "cli", "testing", "bench"]

export default defineConfig({
  // Workspace packages resolve to their sources.
  ssr: { resolve: { conditions: ["@agion/source", "node"] } },
  test: {
    environment: "node",
    passWithNoTests: true,
    testTimeout: tier === "test" ? 20_000 : 300_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // `npm run coverage`; the pattern is matched in each project.
    coverage: { provider: "v8", include: ["**/src/**/*.ts"], reporter: ["text", "text-summary"] },
    projects: [
      project("policy", "./packages/policy", "**/*", [`test/${engine}.*`]),
      project("policy-engine", "./packages/policy", engine),
      ...packages.map((name) => project(name, `./packages/${name}`)),
      project("examples", "./examples"),
      project("scripts", "./scripts")
    ]
  }
})
