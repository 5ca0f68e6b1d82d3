// Writes spec/vectors: what another implementation can test itself with. Run by `npm run vectors`.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { makeVectors } from '../test/support/make-vectors.ts'

const folder = join(import.meta.dirname, '..', 'spec', 'vectors')
rmSync(folder, { recursive: true, force: true })
for (const [name, text] of makeVectors()) {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
