// What of the clients runs in Node alone: memories in files, and the machine's own library. `stele/client/node`. docs/client.md#stores

export { fileCursor } from './file-cursor.ts'
export { evidenceFile, fileCheckpoints } from './file-store.ts'
export { useNative } from '../crypto/use-native.ts'
