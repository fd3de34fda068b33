import { RedisContract } from "@agion/testing"

RedisContract.suite("redis-memory in process", RedisContract.inProcess(), { withoutPort: true })
RedisContract.suite("redis-memory over its port", RedisContract.memoryServer())
