/** Redis without a server, for development and tests. */
export { RedisMemory, RedisMemoryListenError, type ServerOptions } from "./RedisMemory.ts"
