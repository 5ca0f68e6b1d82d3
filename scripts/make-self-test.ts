// Writes src/native/self-test-cases.ts: the self-test of the native verifiers, which needs no signer to run.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderSelfTest } from '../test/support/signature-cases.ts'

writeFileSync(join(import.meta.dirname, '..', 'src', 'native', 'self-test-cases.ts'), renderSelfTest())
