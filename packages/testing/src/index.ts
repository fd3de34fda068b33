/** For tests only: servers to start, faults to make, suites that every implementation runs. */

export * as RawSocket from "./contract/RawSocket.ts"
export * as RedisContract from "./contract/RedisContract.ts"
export * as FaultProxy from "./FaultProxy.ts"
export * as Platform from "./Platform.ts"
export * as PostgresServer from "./PostgresServer.ts"
export * as RedisServer from "./RedisServer.ts"
export * as Template from "./Template.ts"
