// SPDX-License-Identifier: Apache-2.0

package state

// Names of the C enums of bpf/include/types.h and maps.h, by value.
var (
	reasons  = [...]string{"policy", "default-deny", "no-policy", "closed", "quarantine", "spoofed", "malformed", "fragment", "table-full", "established-recheck", "exempt"}
	verdicts = [...]string{"denied", "allowed", "audit-denied"}
	phases   = [...]string{"new", "update", "closed", "denied"}
	rings    = [...]string{"flows", "processes", "enforcement"}
	fulls    = [...]string{"flows", "flow-quota", "procs", "thread_creds", "cgroups", "containers", "fresh", "stamps", "aging", "scripts", "attempts", "tallies", "touched", "orphans"}
	outcomes = [...]string{"ignored", "audited", "observed", "denied", "killed"}
	acts     = [...]string{"exec", "capability", "file"}
	oddities = [...]string{"fragment", "malformed", "not-ip", "untracked", "spoofed"}
)

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}

// Reason names an enum reason.
func Reason(i uint8) string { return name(reasons[:], int(i)) }

// Verdict names an enum verdict.
func Verdict(i uint8) string { return name(verdicts[:], int(i)) }

// Phase names an enum phase.
func Phase(i uint8) string { return name(phases[:], int(i)) }

// Outcome names what was done about an act, an enum action.
func Outcome(i uint32) string { return name(outcomes[:], int(i)) }

// Act names an enum act: the type of its events.
func Act(i uint32) string { return name(acts[:], int(i)) }

// Values of the C enums that Go code branches on.
const (
	Denied      uint8 = 0
	Allowed     uint8 = 1
	AuditDenied uint8 = 2

	PhaseNew    uint8 = 0
	PhaseUpdate uint8 = 1
	PhaseClosed uint8 = 2
	PhaseDenied uint8 = 3

	ReasonPolicy      uint8 = 0
	ReasonDefaultDeny uint8 = 1
	ReasonNoPolicy    uint8 = 2

	StateDenied uint8 = 3

	ProcessExec uint32 = 0
	ProcessFork uint32 = 1
	ProcessExit uint32 = 2
	ProcessSeen uint32 = 3

	ProcCut    uint32 = 4
	ProcScript uint32 = 8

	TellExec uint32 = 1
	TellFork uint32 = 2
	TellExit uint32 = 4
	TellArgs uint32 = 8

	TimeLife uint32 = 0
	TimeExec uint32 = 1

	ActionIgnore  uint32 = 0
	ActionAudit   uint32 = 1
	ActionObserve uint32 = 2
	ActionDeny    uint32 = 3
	ActionKill    uint32 = 4

	ActExec       uint32 = 0
	ActCapability uint32 = 1
	ActFile       uint32 = 2

	OpRead      uint32 = 0
	OpWrite     uint32 = 1
	OpCreate    uint32 = 2
	OpDelete    uint32 = 3
	OpRename    uint32 = 4
	OpLink      uint32 = 5
	OpChmod     uint32 = 6
	OpChown     uint32 = 7
	OpMountOver uint32 = 8
	OpMmapExec  uint32 = 9
	OpTruncate  uint32 = 10

	// FileAnything is a file that cannot be described.
	FileAnything uint32 = 0xffffffff

	ActAuditable uint32 = 1
	ActOtherNS   uint32 = 2
	ActInit      uint32 = 4

	GainCaps uint32 = 1
	GainUID  uint32 = 2
	GainGID  uint32 = 4

	LayerAdmin    uint8 = 0
	LayerNetwork  uint8 = 1
	LayerWorkload uint8 = 2
	LayerBaseline uint8 = 3
	Layers              = 4

	PathLen = 256
	ArgsLen = 256
)

// Rings, Fulls and Oddities name the indices of the counters lost, full and
// oddities.
func Rings() []string { return rings[:] }

// Fulls names what can be full.
func Fulls() []string { return fulls[:] }

// Oddities names the frames that passed without being judged.
func Oddities() []string { return oddities[:] }

// Reasons names the indices of drops.
func Reasons() []string { return reasons[:] }

// Verdicts names the verdicts in totals.
func Verdicts() []string { return verdicts[:] }
