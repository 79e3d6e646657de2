// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"os"
	"strconv"
	"time"
)

// SlowEnv names how many times slower this machine is than those that the tests
// were made for; 1 if unset. An emulated one sets it.
const SlowEnv = "SLUICE_TEST_SLOW"

// Patience is how long to wait, on this machine, for what must come.
func Patience(d time.Duration) time.Duration {
	if times, err := strconv.Atoi(os.Getenv(SlowEnv)); err == nil && times > 0 {
		return d * time.Duration(times)
	}
	return d
}
