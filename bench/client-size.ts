// Kilobytes (1,000 bytes) of the verifying client as a browser gets it: bundled with everything that it needs, minified, gzipped. A bundler leaves out
// what is not imported, as `sideEffects` of the package allows it to.
//
// node bench/client-size.ts

import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { printTable, type Row } from './harness.ts'

const SRC = join(import.meta.dirname, '..', 'src')
const ENTRY = 'virtual:entry'

const VERIFICATION = { client: '{ createResolver, agreement, webStorageCheckpoints }', core: '{ parsePolicy, parseVerifierKey }' }
const BY_MAP = { client: '{ createResolver, stateProof, webStorageCheckpoints }', core: '{ parsePolicy }' }
const CASES: Record<string, { readonly client?: string; readonly core?: string }> = {
  createResolver: { client: '{ createResolver }' },
  'createResolver, agreement, webStorageCheckpoints, parsePolicy, parseVerifierKey': VERIFICATION,
  'createResolver, stateProof, webStorageCheckpoints, parsePolicy': BY_MAP,
  'verifyReceipt, parseVerifierKey': { core: '{ verifyReceipt, parseVerifierKey }' },
  'the whole client': { client: '*' },
  'the whole client and the core': { client: '*', core: '*' },
}

const rows: Row[] = []
for (const [name, { client, core }] of Object.entries(CASES)) {
  const lines = [
    ...(client === undefined ? [] : [`export ${client} from ${JSON.stringify(join(SRC, 'client', 'index.ts'))}`]),
    ...(core === undefined ? [] : [`export ${core} from ${JSON.stringify(join(SRC, 'core', 'index.ts'))}`]),
  ]
  await using bundle = await rolldown({
    input: ENTRY,
    platform: 'browser',
    treeshake: { moduleSideEffects: false },
    onLog: () => undefined, // names that both export
    plugins: [{ name: 'entry', resolveId: (id) => (id === ENTRY ? id : null), load: (id) => (id === ENTRY ? lines.join('\n') : null) }],
  })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  const { code } = output[0]
  rows.push({ name, figures: { 'minified kB': code.length / 1000, 'gzipped kB': gzipSync(code).length / 1000 } })
}
printTable('Size of the verifying client', { runs: 1 }, rows)
