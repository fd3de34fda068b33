/** The governance server. */
export { Changes } from "./changes/Changes.ts"
export { Server, type ServerOptions } from "./Server.ts"
export { Database, type DatabaseOptions } from "./sql/Database.ts"
export { migrate } from "./sql/Migrations.ts"
export { DirectoryLocked } from "./sql/Pglite.ts"
