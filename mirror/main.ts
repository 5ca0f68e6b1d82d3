// The program behind `npm run mirror`: the same as `stele mirror`. README.md

import { main } from '../src/cli/main.ts'

process.exitCode = await main(['mirror', ...process.argv.slice(2)])
