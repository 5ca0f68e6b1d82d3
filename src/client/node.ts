// What of the clients runs in Node alone: memories in files. `stele/client/node`. docs/client.md#stores

export { fileCursor } from './file-cursor.ts'
export { evidenceFile, fileCheckpoints } from './file-store.ts'
