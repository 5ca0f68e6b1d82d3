// Checks with torchwood that a checkpoint meets a policy.
//
//	witness POLICY CHECKPOINT   both are files; prints size and root
package main

import (
	"encoding/hex"
	"fmt"
	"log"
	"os"

	"filippo.io/torchwood"
)

func main() {
	if err := check(os.Args[1], os.Args[2]); err != nil {
		log.Fatalf("refused: %v", err)
	}
}

func check(policyFile, checkpointFile string) error {
	text, err := os.ReadFile(policyFile)
	if err != nil {
		return err
	}
	policy, err := torchwood.ParsePolicy(text)
	if err != nil {
		return err
	}
	signed, err := os.ReadFile(checkpointFile)
	if err != nil {
		return err
	}
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		return err
	}
	fmt.Printf("%d %s\n", checkpoint.N, hex.EncodeToString(checkpoint.Hash[:]))
	return nil
}
