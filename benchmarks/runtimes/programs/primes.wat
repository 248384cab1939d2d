;; The primes below a number, counted `times` over by trial division (`trial`) or by a sieve (`sieve`).
(module
  (memory (export "memory") 17)

  (func $trial (param $below i32) (result i32)
    (local $n i32) (local $d i32) (local $count i32)
    (local.set $count (i32.gt_s (local.get $below) (i32.const 2)))
    (local.set $n (i32.const 3))
    (block $done
      (loop $next
        (br_if $done (i32.ge_s (local.get $n) (local.get $below)))
        (local.set $d (i32.const 3))
        (block $composite
          (block $prime
            (loop $divide
              (br_if $prime (i32.gt_s (i32.mul (local.get $d) (local.get $d)) (local.get $n)))
              (br_if $composite (i32.eqz (i32.rem_s (local.get $n) (local.get $d))))
              (local.set $d (i32.add (local.get $d) (i32.const 2)))
              (br $divide)))
          (local.set $count (i32.add (local.get $count) (i32.const 1))))
        (local.set $n (i32.add (local.get $n) (i32.const 2)))
        (br $next)))
    (local.get $count))

  ;; One byte a number from address 0 on, up to 1,114,112.
  (func $sieve (param $below i32) (result i32)
    (local $n i32) (local $multiple i32) (local $count i32)
    (memory.fill (i32.const 0) (i32.const 0) (local.get $below))
    (local.set $n (i32.const 2))
    (loop $next
      (if (i32.eqz (i32.load8_u (local.get $n)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          ;; From n * n on, which fits in 32 bits for every n that has a multiple left to mark.
          (if (i32.le_u (local.get $n) (i32.const 65535))
            (then
              (local.set $multiple (i32.mul (local.get $n) (local.get $n)))
              (if (i32.lt_u (local.get $multiple) (local.get $below))
                (then
                  (loop $mark
                    (i32.store8 (local.get $multiple) (i32.const 1))
                    (br_if $mark
                      (i32.lt_u
                        (local.tee $multiple (i32.add (local.get $multiple) (local.get $n)))
                        (local.get $below))))))))))
      (br_if $next
        (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $below))))
    (local.get $count))

  (func (export "trial") (param $below i32) (param $times i32) (result i32)
    (local $count i32)
    (loop $again
      (local.set $count (call $trial (local.get $below)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $count))

  (func (export "sieve") (param $below i32) (param $times i32) (result i32)
    (local $count i32)
    (loop $again
      (local.set $count (call $sieve (local.get $below)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $count)))
