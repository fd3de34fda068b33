/** The `agion` command as a value, for programs that embed it. */
export { agion } from "./Cli.ts"
