// A process that starts the embedded database of the folder in its argument, says what became of it in one line of
// JSON, and leaves when its standard input ends.

import { startEmbedded } from '../../src/storage/embedded.ts'
import { inDatabase, silent } from './server.ts'

const [, , dataDir = ''] = process.argv
try {
  const embedded = await startEmbedded({ dataDir, log: silent })
  await inDatabase(embedded.connection, 'create table if not exists kept (by_process integer)')
  await inDatabase(embedded.connection, 'insert into kept values ($1)', [process.pid])
  console.log(JSON.stringify({ started: embedded.started, host: embedded.connection.host }))
  for await (const chunk of process.stdin) void chunk
  await embedded[Symbol.asyncDispose]()
  console.log(JSON.stringify({ left: true }))
} catch (error) {
  console.log(JSON.stringify({ name: error instanceof Error ? error.name : '', error: error instanceof Error ? error.message : String(error) }))
}
