/**
 * The engine alone: expressions and sets without effect, YAML and the RE2 engine; findings, diff and replay are
 * in the whole package.
 *
 * For edge runtimes, browsers, and agents that count bytes. A program that allows patterns which the native
 * engine must not run installs an RE2 engine with `Cel.installRe2`.
 */
export * as Cel from "./Cel.ts"
export * as PolicySet from "./policyset/index.ts"
