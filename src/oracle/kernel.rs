//! Which instructions of this processor the tables are read with.

use std::fmt;

/// Proof that this processor has the instructions of a kernel: made only where they were seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen(());

/// A compilation of the one body of `tables`; all give the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kernel {
    /// The target's baseline.
    Portable,
    /// x86-64 with AVX2, BMI and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2(Seen),
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512(Seen),
}

impl Kernel {
    /// Every kernel that this processor can run, the fastest last.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "one kernel only"))]
        let mut kernels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("popcnt");
            if avx2 {
                kernels.push(Self::Avx2(Seen(())));
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx2 && avx512 {
                kernels.push(Self::Avx512(Seen(())));
            }
        }
        kernels
    }

    /// The fastest kernel of this processor.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512",
        })
    }
}
